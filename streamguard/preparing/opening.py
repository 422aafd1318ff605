"""From the settings of a step to the step."""

from streamguard.config.preparation import PLAIN, StepSettings
from streamguard.core.features.fates import Step
from streamguard.core.features.steps import BUILT_IN
from streamguard.preparing.functions import OwnFunction


def built(settings: StepSettings) -> Step:
    """Raises `ConfigError` where a function cannot be imported."""
    name = settings.name
    if settings.function is not None:
        own = OwnFunction(settings.function, settings.time_limit_ms / 1000)
        own.check()
        return own
    if name in PLAIN:
        return BUILT_IN[name]()
    if settings.scale is not None:
        return BUILT_IN[name](settings.scale.to, settings.scale.source)
    if settings.standardize is not None:
        return BUILT_IN[name](settings.standardize.mean, settings.standardize.sd)
    value = getattr(settings, name)
    return BUILT_IN[name](*value) if name == "clip" else BUILT_IN[name](value)
