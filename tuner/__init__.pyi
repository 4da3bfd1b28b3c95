"""The public names and the modules that define them."""

from .cluster.resuming import resume as resume
from .cluster.runner import run as run
from .errors import ClusterError as ClusterError
from .errors import ResultsError as ResultsError
from .errors import SpecError as SpecError
from .errors import TrialError as TrialError
from .errors import TunerError as TunerError
from .model_selection import TunerSearchCV as TunerSearchCV
from .objective import Budget as Budget
from .objective import Objective as Objective
from .ray_tune import from_ray as from_ray
from .report import Report as Report
from .report import Trial as Trial
from .resources import Resources as Resources
from .schedulers import Asha as Asha
from .schedulers import AshaStop as AshaStop
from .schedulers import Curve as Curve
from .schedulers import Fifo as Fifo
from .schedulers import HyperBand as HyperBand
from .schedulers import Median as Median
from .schedulers import Pasha as Pasha
from .schedulers import Pbt as Pbt
from .schedulers import Percentile as Percentile
from .schedulers import Replay as Replay
from .schedulers import SuccessiveHalving as SuccessiveHalving
from .searchers import Bayes as Bayes
from .searchers import Evolution as Evolution
from .searchers import Grid as Grid
from .searchers import HyperOpt as HyperOpt
from .searchers import Optuna as Optuna
from .searchers import Random as Random
from .searchers import Reinforce as Reinforce
from .searchers import Sobol as Sobol
from .space import Architecture as Architecture
from .space import Choice as Choice
from .space import Float as Float
from .space import Int as Int
from .space import Ordinal as Ordinal
from .space import Repeat as Repeat
from .space import SearchSpace as SearchSpace
from .sweep import Sweep as Sweep

__version__: str
