"""Every private name of Ray that tuner uses, checked against Ray 2.60.0.

Ray calls Tune's controller a developer interface, which may change in any release. Only this package imports
private classes: ``core`` imports those of Ray, ``tune`` those of Ray Tune. The tables list the members that
our subclasses override and use. ``tests/test_ray_internals.py`` compares them with the installed Ray and with
our code.
"""

from __future__ import annotations

READ_IN = "2.60.0"
"""The version of Ray whose source defines these names."""

OVERRIDDEN: dict[str, tuple[str, ...]] = {
    "tuner.cluster.controller:Controller": (
        "_actor_started",
        "_process_trial_failure",
        "_process_trial_result",
        "_process_trial_results",
        "_process_trial_save",
        "_schedule_trial_pause",
        "_schedule_trial_save",
        "_schedule_trial_train",
        "checkpoint",
        "is_finished",
        "on_step_begin",
        "step",
        "stop_trial",
    ),
    "tuner.cluster.queueing:QueueingController": ("_maybe_update_trial_queue", "_requeue_trial"),
    "tuner.cluster.actors:LaneActors": (
        "_actor_stop_resolved",
        "_actor_task_failed",
        "_try_kill_actor",
        "_try_start_actors",
        "cleanup",
    ),
    "tuner.cluster.adapters:_Trial": (
        "get_trainable_cls",
        "init_local_path",
        "local_path",
        "update_last_result",
    ),
    "tuner.cluster.local_node:LocalNode": (
        "kill_all_processes",
        "start_api_server",
        "start_log_monitor",
        "start_monitor",
    ),
    "tuner.storage.checkpoints:Storage": ("persist_current_checkpoint",),
    "tuner.worker.function:_Function": ("_trainable_func", "cleanup", "save_checkpoint", "setup", "step"),
    "tuner.worker.session:Session": (
        "_report_thread_runner_error",
        "_report_training_result",
        "report",
        "trial_dir",
    ),
}
"""Our subclass -> the methods that it overrides, although Ray does not offer them for that."""

USED: dict[str, tuple[str, ...]] = {
    "tuner.cluster.controller:Controller": (
        "_actor_cleanup_timeout",
        "_actor_manager",
        "_actor_to_trial",
        "_insufficient_resources_manager",
        "_iteration",
        "_live_trials",
        "_max_pending_trials",
        "_on_training_result",
        "_queue_decision",
        "_queued_trial_decisions",
        "_running_trials",
        "_schedule_trial_stop",
        "_schedule_trial_task",
        "_scheduler_alg",
        "_search_alg",
        "_trial_task_failure",
        "_trial_to_actor",
        "_trials",
        "_try_recover",
        "add_trial",
    ),
    "tuner.cluster.queueing:QueueingController": (
        "_actor_manager",
        "_live_trials",
        "_maybe_add_actors",
        "_search_alg",
        "_set_trial_status",
        "_trials",
        "_update_trial_queue",
    ),
    "tuner.cluster.actors:LaneActors": (
        "_actor_start_failed",
        "_actor_start_resolved",
        "_actor_state_events",
        "_cleanup_actor_futures",
        "_live_actors_to_kill",
        "_live_actors_to_ray_actors_resources",
        "_pending_actors_to_attrs",
        "_resource_request_to_pending_actors",
        "_tracked_actors_to_state_futures",
    ),
    "tuner.cluster.adapters:_Trial": ("relative_logdir", "run_metadata", "storage", "trial_id"),
    "tuner.cluster.local_node:LocalNode": ("_webui_url", "all_processes"),
    "tuner.storage.checkpoints:Storage": ("checkpoint_fs_path", "experiment_fs_path", "storage_filesystem"),
    "tuner.worker.session:Session": (
        "continue_lock",
        "error_queue",
        "loaded_checkpoint",
        "result_queue",
        "storage",
        "trial_info",
    ),
    "tuner.worker.function:_Function": (),
}
"""Our subclass -> the other attributes and methods of Ray's class that it uses."""
