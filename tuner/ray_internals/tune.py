"""Private classes of Ray Tune."""

from ray.air.execution._internal import RayActorManager, TrackedActor
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
from ray.train._internal.session import _TrainingResult as TrainingResult
from ray.train._internal.session import _TrainSession as TrainSession
from ray.train._internal.session import get_session
from ray.train._internal.storage import StorageContext
from ray.tune.trainable.trainable_fn_utils import _in_tune_session as in_tune_session

__all__ = [
    "RayActorManager",
    "StorageContext",
    "TrackedActor",
    "TrackedActorTask",
    "TrainSession",
    "TrainingResult",
    "get_session",
    "in_tune_session",
]
