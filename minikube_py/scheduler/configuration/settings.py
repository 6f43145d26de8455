"""What a scheduler runs with: its profiles and back-offs, as a configuration file or the defaults say."""

from dataclasses import dataclass

from minikube_py.scheduler.profile import DEFAULT_PROFILE, Profile


class ConfigurationError(ValueError):
    """The configuration can't be used; the text lists everything that is wrong with it."""


@dataclass(frozen=True)
class SchedulerConfiguration:
    """What the scheduler runs with. Back-offs are seconds."""

    profiles: tuple[Profile, ...] = (DEFAULT_PROFILE,)
    first_backoff_seconds: float = 1.0
    longest_backoff_seconds: float = 10.0


DEFAULT_CONFIGURATION = SchedulerConfiguration()
