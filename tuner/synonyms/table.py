"""Other tools' words for the words of a sweep file. A test checks that each of our words exists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Place = Literal["sweep", "objective", "budget", "resources", "searcher", "scheduler", "trainable", "space"]
"""The place of a key in a sweep file: its top level (``sweep``), or one of its parts."""

KEYS: Mapping[Place, Mapping[str, str]] = {
    "sweep": {
        "trainable": "program entrypoint script train_fn training_function objective_function trainer task",
        "space": "parameters params param_space config config_space configspace search_space "
        "hyperparameters hparams hyperparams variables param_distributions param_grid",
        "objective": "goal targets optimization_config",
        "budget": "stop stopping_criteria stop_criterion limits",
        "searcher": "search_alg search_algorithm sampler method algorithm tuner strategy search suggest "
        "generation_strategy",
        "scheduler": "pruner early_terminate early_termination early_stopping trial_scheduler stopper "
        "assessor",
        "resources": "resources_per_trial resources_per_worker scaling_config",
        "loggers": "callbacks logger trackers logging",
        "seed": "random_state random_seed rng_seed",
        "checkpoint_every": "checkpoint_frequency checkpoint_freq checkpoint_interval save_every",
        "name": "experiment_name study_name sweep_name run_name project experiment",
        "out": "storage_path local_dir output_dir results_dir log_dir save_dir",
    },
    "objective": {
        "metric": "objective_metric metric_name metric_attr objective_name objective_metric_name monitor",
        "mode": "direction goal minimize maximize minimise maximise greater_is_better higher_is_better "
        "metric_mode directions optimize_mode",
    },
    "budget": {
        "trials": "n_trials num_trials max_trials num_samples run_cap max_evals max_evaluations total_trials "
        "n_iter num_configs max_num_trials_finished max_num_trials_started max_trial_count max_trial_number",
        "iterations": "epochs epoch max_epochs n_epochs num_epochs num_train_epochs max_iterations max_iter "
        "max_t training_iteration max_iterations_per_trial max_resource num_boost_round "
        "num_iterations rounds max_steps num_steps n_steps max_length",
        "seconds": "hours minutes days max_hours "
        "time timeout time_budget time_budget_s time_budget_seconds max_wallclock_time walltime "
        "wall_time max_time max_duration time_limit max_experiment_duration timeout_seconds",
        "gpu_seconds": "gpu_time gpu_budget",
        "failures": "max_failures max_failed_trials max_failed_trial_count max_num_failed_trials fail_fast",
        "concurrent": "max_concurrent max_concurrent_trials n_jobs num_workers n_workers parallelism "
        "parallel_trials parallel_trial_count concurrency trial_concurrency max_parallel num_concurrent "
        "max_in_flight batch_trials",
        "trial_seconds": "trial_timeout time_budget_per_trial max_time_per_trial timeout_per_trial "
        "max_trial_duration time_total_s",
        "silence": "heartbeat hang_timeout heartbeat_timeout",
        "retries": "max_retries num_retries retry",
    },
    "resources": {
        "cpu": "cpus num_cpus n_cpus cpus_per_trial ncpus num_threads",
        "gpu": "gpus num_gpus n_gpus gpus_per_trial ngpus use_gpu accelerators trial_gpu_number",
        "processes": "num_processes n_processes nprocs nproc_per_node world_size",
        "placement": "placement_strategy",
        "accelerator": "accelerator_type gpu_type",
        "lanes": "trials_per_worker stacked_trials",
    },
    "searcher": {
        "startup_trials": "n_startup_trials n_startup_jobs num_startup_trials warmup_trials",
        "initial": "n_initial_points random_search_steps num_init_random n_init init_points",
        "candidates": "n_ei_candidates n_candidates num_candidates",
        "population": "population_size pop_size popsize",
        "tournament": "tournament_size sample_size",
        "mutation": "mutation_prob mutation_probability mutation_rate",
        "crossover": "crossover_prob crossover_probability",
        "swapping": "swapping_prob swapping_probability",
        "deterministic": "deterministic_objective",
        "separable": "use_separable_cma",
        "margin": "with_margin",
        "sequence": "qmc_type",
        "surrogate": "model base_estimator surrogate_model",
        "acquisition": "acq_func acquisition_function acq utility utility_function",
        "algorithm": "algo",
        "initial_points": "points_to_evaluate initial_params enqueue_trials x0 points initial_configs",
        "warm_start": "evaluated_rewards previous_sweep load_study transfer_learning warm_start_from",
    },
    "scheduler": {
        "reduction_factor": "eta rf halving_rate keep_ratio",
        "grace_period": "min_resource min_iter min_t min_budget r min_resource_level n_warmup_steps "
        "start_step",
        "maximum": "max_t max_resource max_iter max_budget R max_resource_level",
        "resource": "time_attr resource_attr resource_metric fidelity",
        "interval": "perturbation_interval interval_steps report_interval",
        "min_trials": "min_samples_required n_min_trials n_startup_trials peers min_curves min_num_trials",
        "mutate": "hyperparam_mutations mutations",
    },
    "trainable": {
        "dataset": "data data_name dataset_name data_set",
        "path": "file csv data_path data_file filename file_path dataset_path train_file",
        "target": "label y label_column target_column response outcome",
        "features": "x feature_columns inputs",
        "validation": "val_split validation_split val_size valid_size validation_fraction val_fraction "
        "validation_size",
        "test": "test_size test_split test_fraction holdout",
        "split_seed": "random_state data_seed split_random_state",
        "task": "problem_type task_type",
        "precision": "dtype float_type",
        "metrics": "scoring scorers eval_metric eval_metrics",
        "estimator": "model classifier regressor model_class",
        "folds": "cv n_splits n_folds num_folds kfold",
    },
    "space": {
        "lr": "learning_rate eta eta0 step_size learning_rate_init init_lr base_lr initial_lr",
        "batch_size": "bs batch per_device_train_batch_size train_batch_size mini_batch_size minibatch_size",
        "weight_decay": "wd decay adam_weight_decay",
        "hidden": "hidden_size hidden_units hidden_dim units n_units num_units neurons n_hidden layer_size "
        "hidden_features width hidden_layer_sizes hidden_layer_size",
        "depth": "n_layers num_layers layers hidden_layers num_hidden_layers n_hidden_layers",
        "dropout": "dropout_rate dropout_prob dropout_p drop_rate p_dropout hidden_dropout_prob",
        "activation": "act activation_function nonlinearity act_fn activation_fn",
        "optimizer": "opt optim solver optimizer_name optimizer_type",
        "momentum": "mom sgd_momentum",
        "beta1": "beta_1 adam_beta1 b1",
        "beta2": "beta_2 adam_beta2 b2",
        "rho": "smoothing_constant",
        "epsilon": "eps adam_epsilon",
        "schedule": "scheduler lr_scheduler lr_schedule lr_scheduler_type learning_rate_schedule",
        "decay_factor": "lr_decay lr_gamma lr_decay_rate lr_decay_factor",
        "decay_epochs": "lr_step_size t_max decay_steps",
        "min_lr_ratio": "min_lr eta_min",
        "warmup": "warmup_epochs num_warmup_epochs lr_warmup",
        "clip_norm": "max_grad_norm gradient_clip_val grad_clip clip_grad_norm gradient_clip grad_norm",
        "clip_value": "clip_grad_value grad_clip_value",
        "initialization": "init weight_init kernel_initializer initializer init_method",
        "l1": "l1_penalty l1_reg reg_alpha l1_lambda",
        "l2": "l2_penalty l2_reg reg_lambda l2_lambda",
        "label_smoothing": "label_smoothing_factor smoothing",
        "noise": "noise_std gaussian_noise",
        "mixup": "mixup_alpha",
        "patience": "early_stopping_patience early_stopping_rounds n_iter_no_change",
        "min_change": "min_delta early_stopping_delta",
        "amp": "mixed_precision autocast fp16 bf16",
        "compile": "torch_compile use_compile",
        "normalization": "norm batch_norm batchnorm use_batch_norm norm_layer batch_normalization",
        "groups": "num_groups n_groups",
        "channels": "filters n_filters num_filters n_channels num_channels base_channels",
        "blocks": "n_blocks num_blocks conv_layers n_conv_layers num_conv_layers",
        "kernel": "kernel_size filter_size",
        "pooling": "pool pool_type pooling_type",
        "shift": "translate translation random_shift",
        "flip": "hflip horizontal_flip random_flip",
        "rotation": "degrees rotate rotation_range random_rotation",
        "cutout": "cutout_size random_erasing",
        "width": "d_model embed_dim embedding_dim embedding_size model_dim hidden_size hidden_dim",
        "heads": "n_heads num_heads nhead num_attention_heads",
        "expansion": "mlp_ratio ffn_ratio ff_mult",
        "scaling": "scaler normalize standardize scale",
        "missing": "imputer imputation impute",
        "whitening": "pca whiten",
    },
}
"""Place -> our key -> other tools' names for it."""

OPTIONS: Mapping[str, str] = {
    "log": "log_scale scale logscale is_log use_log scaling sampling",
    "step": "q quantum step_size quantization",
    "points": "n grid_points num n_points grid_size num_points",
    "default": "init initial initial_value default_value",
    "when": "condition conditions if depends_on active_if only_if",
}
"""Option of a dimension -> other tools' names for it."""

VALUES: Mapping[str, str] = {
    "max": "maximize maximise maximum maximization higher_is_better up",
    "min": "minimize minimise minimum minimization lower_is_better down",
    "adam": "adam_optimizer",
    "sgd": "gd gradient_descent vanilla_sgd",
    "silu": "swish",
    "elu": "exponential_linear",
    "he_normal": "kaiming_normal",
    "he_uniform": "kaiming_uniform",
    "xavier_normal": "glorot_normal",
    "xavier_uniform": "glorot_uniform",
    "cosine": "cosine_annealing",
    "plateau": "reduce_on_plateau reduce_lr_on_plateau",
    "standard": "standardize standard_scaler zscore z_score",
    "minmax": "minmax_scaler min_max_scaler",
    "classification": "classifier multiclass binary",
    "regression": "regressor",
    "float32": "single fp32",
    "float64": "double fp64",
    "bf16": "bfloat16",
    "fp16": "float16 half",
    "macro_f1": "f1_macro f1",
    "roc_auc": "auc auroc",
    "log_loss": "logloss cross_entropy nll",
    "rmse": "root_mean_squared_error",
    "mae": "mean_absolute_error",
    "mlp": "feed_forward feedforward_network dense_network neural_network fully_connected nn ann",
    "cnn": "convnet convolutional convolutional_network conv_net",
    "sklearn": "scikit_learn scikit estimator",
    "transformer": "encoder transformer_encoder",
    "tensorboard": "tbx tensorboardx tb",
    "gp": "gaussian_process",
    "rf": "random_forest forest",
    "logei": "log_ei log_expected_improvement",
    "ei": "expected_improvement",
    "ucb": "lcb upper_confidence_bound",
    "pi": "probability_of_improvement poi",
}
"""Value -> other tools' names for it."""

OPTUNA_TPE = {"kind": "optuna", "sampler": "tpe"}

METHODS: Mapping[Literal["searcher", "scheduler"], tuple[tuple[str | Mapping[str, Any], str], ...]] = {
    "searcher": (
        ("grid", "grid_search gridsearch brute_force exhaustive"),
        ("random", "random_search randomized randomized_search basic_variant variant_generator uniform"),
        ("sobol", "quasi_random quasirandom low_discrepancy"),
        ("optuna", "optuna_search"),
        ("hyperopt", "hyperopt_search"),
        (OPTUNA_TPE, "tpe tree_parzen parzen motpe bohb tune_bohb botpe kde"),
        ({"kind": "optuna", "sampler": "gp"}, "gp gaussian_process"),
        ({"kind": "optuna", "sampler": "cmaes"}, "cmaes cma_es cma"),
        ({"kind": "optuna", "sampler": "nsga2"}, "nsga2 nsga nsgaii nsgaiii mobo moea"),
        ({"kind": "optuna", "sampler": "qmc"}, "qmc"),
        ({"kind": "optuna", "sampler": "qmc", "sequence": "halton"}, "halton"),
        ({"kind": "hyperopt", "algorithm": "anneal"}, "anneal annealing simulated_annealing"),
        ({"kind": "bayes", "surrogate": "rf"}, "rf random_forest smac smac3 dngo forest"),
        (
            "bayes",
            "bo bayesian bayesopt bayes_opt bayesian_optimization bayesian_optimisation gaussian gpei gp_ei "
            "gp gaussian_process ax botorch skopt scikit_optimize gp_minimize hebo "
            "dragonfly mobster vizier sigopt turbo",
        ),
        (
            "evolution",
            "genetic genetic_algorithm ga evolutionary regularized_evolution aging_evolution de dehb "
            "differential_evolution nevergrad",
        ),
        ("reinforce", "rl reinforcement_learning policy_gradient enas ppo controller"),
    ),
    "scheduler": (
        ("fifo", "none no nop never"),
        (
            "asha",
            "async_hyperband asynchyperband asynchronous_successive_halving asynchronous_hyperband ashav2 "
            "asha_promotion",
        ),
        ("asha_stop", "asha_stopping stopping successive_halving_pruner early_stopping"),
        ("successive_halving", "sha synchronous_successive_halving halving sync_sha"),
        ("hyperband", "hb hb_bohb hyperband_for_bohb sync_hyperband hyperband_pruner bohb dehb"),
        ("median", "median_stopping median_stopping_rule median_stop median_pruner medianstop"),
        ("percentile", "percentile_pruner"),
        ("pasha", "progressive_asha"),
        ("curve", "curve_fitting curvefitting learning_curve extrapolation lce learning_curve_extrapolation"),
        ("pbt", "population_based population_based_training pb2 pbt2"),
        ("replay", "pbt_replay population_based_training_replay"),
    ),
}
"""Value of the key in a sweep file -> other tools' names for the method."""

KIND_KEYS = ("name", "type", "class", "model", "kind_name", "trainable", "algorithm")
"""Other tools' keys for the kind of a part."""

ESTIMATORS: Mapping[str, str] = {
    "xgboost:XGBClassifier": "xgboost xgb xgb_classifier gradient_boosted_trees",
    "xgboost:XGBRegressor": "xgb_regressor",
    "lightgbm:LGBMClassifier": "lightgbm lgbm lgb lgbm_classifier",
    "lightgbm:LGBMRegressor": "lgbm_regressor",
    "catboost:CatBoostClassifier": "catboost cat_boost_classifier",
    "sklearn.svm:SVC": "svm svc support_vector_machine",
    "sklearn.ensemble:RandomForestClassifier": "random_forest rf random_forest_classifier",
    "sklearn.ensemble:RandomForestRegressor": "random_forest_regressor",
    "sklearn.ensemble:HistGradientBoostingClassifier": "gradient_boosting hist_gradient_boosting gbm gbt",
    "sklearn.linear_model:LogisticRegression": "logistic_regression logreg",
    "sklearn.linear_model:Ridge": "ridge linear_regression",
    "sklearn.neighbors:KNeighborsClassifier": "knn nearest_neighbors",
    "sklearn.tree:DecisionTreeClassifier": "decision_tree tree",
}
"""Estimator for the trainable ``sklearn`` -> names that a user may write in place of a trainable."""

TRACKERS: Mapping[str, str] = {
    "wandb": "weights_and_biases weights_biases wandb_logger wandb_logger_callback",
    "mlflow": "mlflow_logger mlflow_logger_callback",
    "trackio": "trackio_logger",
    "tensorboard": "tensorboardx tb tbx tbx_logger_callback tensorboard_logger",
    "ray.air.integrations.comet:CometLoggerCallback": "comet comet_ml comet_logger_callback",
    "ray.tune.logger.aim:AimLoggerCallback": "aim aim_logger_callback",
}
"""Short name or import path of a logger -> names that a user may write in its place."""

METRICS: Mapping[Literal["min", "max"], str] = {
    "max": "accuracy acc balanced_accuracy top_1_accuracy top_5_accuracy categorical_accuracy auc roc_auc "
    "auroc pr_auc auprc average_precision ap map f1 f1_score macro_f1 micro_f1 weighted_f1 f1_macro f1_micro "
    "f1_weighted precision recall sensitivity specificity r2 r2_score explained_variance mcc "
    "matthews_corrcoef cohen_kappa kappa iou miou mean_iou dice jaccard ndcg mrr bleu rouge rouge_l psnr "
    "ssim pearson spearman reward episode_reward episode_return return log_likelihood elbo",
    "min": "loss error err error_rate misclassification_rate mse mean_squared_error rmse "
    "root_mean_squared_error mae mean_absolute_error mape smape msle rmsle max_error log_loss "
    "nll negative_log_likelihood cross_entropy binary_cross_entropy bce ce hinge_loss huber_loss kl "
    "kl_divergence brier brier_score ece perplexity ppl wer cer regret fid deviance",
}
"""Mode -> the standard metrics to optimise with it, without words for their rows."""

QUALIFIERS = (
    "train training val valid validation test eval evaluation dev holdout cv oof mean avg average best final "
    "last epoch step ema smoothed"
)
"""Words for the rows or results from which a metric is computed."""

DISTRIBUTIONS: Mapping[str, str] = {
    "float": "float uniform float_uniform double real continuous number float_range q_uniform "
    "discrete_uniform fin_range reverse_log_uniform inv_log_uniform inv_log_uniform_values truncated_normal",
    "log float": "log_uniform log_uniform_values log_float float_log reciprocal q_log_uniform "
    "q_log_uniform_values log10_uniform log double_log log_double log_fin_range",
    "int": "int integer uniform_int int_uniform q_uniform_int int_range discrete_int",
    "log int": "log_int int_log q_log_rand_int log_uniform_int integer_log log_integer",
    "int below": "rand_int random_int",
    "log int below": "log_rand_int",
    "int by": "q_rand_int",
    "normal": "normal randn rand_n gaussian q_normal q_randn",
    "log normal": "log_normal log_randn q_log_normal",
    "choice": "choice categorical categorical_w_probabilities p_choice grid_search grid discrete enum values "
    "options categories one_of",
    "ordinal": "ordinal log_ordinal ordered ordered_choice",
    "flag": "bool boolean flag",
    "constant": "constant const fixed value",
    "any": "range interval parameter",
}
"""Form of a dimension -> other tools' names of such distributions.

``below``: the upper end is excluded. ``by``: the third number is a step.
"""

ROLES: Mapping[str, str] = {
    "low": "low min lower min_value minval lower_bound minimum",
    "high": "high max upper max_value maxval upper_bound maximum",
    "bounds": "bounds range limits interval args",
    "form": "distribution dist type _type domain domain_cls parameter_type value_type cls",
    "log": "log log_scale scale scaling scaling_type scale_type sampling",
    "step": "q step step_size quantum",
    "values": "values choices options categories vals grid candidates items grid_search",
    "value": "value constant val fixed",
    "mean": "mu mean loc",
    "sd": "sigma std sd stddev",
    "ignored": "name parameter_name parameter_id is_ordered sort_values probabilities base",
    "inner": "feasible_space domain_kwargs kwargs attributes",
}
"""Part of a dimension -> other tools' keys for it."""
