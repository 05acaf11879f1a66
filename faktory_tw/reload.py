"""SIGHUP: which settings can change while the server runs, and which wait for a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from faktory_tw.config import ConfigError, Settings
from faktory_tw.config.keys import BY_FIELD, TABLES, Setting


@dataclass(frozen=True)
class Reloaded:
    """What came of it.

    ``settings`` are those to go on with: the new ones as far as they can change now, otherwise the old ones. ``changed``
    and ``needs_restart`` name keys such as "queues.max_size". ``error``: the settings could not be read; nothing has
    changed. No value is told, because some are secret.
    """

    settings: Settings
    changed: list[str]
    needs_restart: list[str]
    error: str | None = None

    def sentences(self) -> list[str]:
        """What to write into the log."""
        if self.error is not None:
            return [f"The settings stay as they are: {self.error}"]
        told = [f"Changed: {', '.join(self.changed)}"] if self.changed else []
        told += [f"{name}: restart the server to change it" for name in self.needs_restart]
        return told or ["No setting has changed"]


def reload(current: Settings, read: Callable[[], Settings]) -> Reloaded:
    """Read the settings again. ``read`` may raise ConfigError; never raises it itself."""
    try:
        fresh = read()
    except ConfigError as error:
        return Reloaded(current, [], [], str(error))
    changed = [setting for setting in BY_FIELD.values() if _differs(setting, current, fresh)]
    new = {setting.field: getattr(fresh, setting.field) for setting in changed if setting.reloads}
    new.update((name, getattr(fresh, name)) for name in TABLES)
    return Reloaded(
        replace(current, **new),
        [setting.name for setting in changed if setting.reloads] + list(_changed_tables(current, fresh)),
        [setting.name for setting in changed if not setting.reloads],
    )


def _differs(setting: Setting, current: Settings, fresh: Settings) -> bool:
    return bool(getattr(current, setting.field) != getattr(fresh, setting.field))


def _changed_tables(current: Settings, fresh: Settings) -> Iterator[str]:
    for field, section in TABLES.items():
        old, new = getattr(current, field), getattr(fresh, field)
        if isinstance(new, Mapping):
            yield from (f"{section}.{name}" for name in sorted({*old, *new}) if old.get(name) != new.get(name))
        elif old != new:
            yield section
