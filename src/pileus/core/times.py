"""Read times that others write: ISO 8601 in, naive UTC out.

The one place where text from outside becomes a time, so that what no calendar has, and what has no year
in UTC, is refused everywhere alike. The forms are those of OpenStack's ``timeutils.parse_isotime``.
"""

from __future__ import annotations

import datetime as dt
import re

_LONGEST = 64
# The offset's plus may be a space: in a query a plus that is not escaped arrives as one, and few escape it.
_ISO_8601 = re.compile(
    r"([0-9]{4})(?:(?:-([0-9]{1,2})|([0-9]{2})(?!$))(?:(?:-([0-9]{1,2})|([0-9]{2}))"
    r"(?:[ T]([0-9]{2})(?::?([0-9]{2}))?(?::?([0-9]{1,2})(?:[.,]([0-9]+))?)?"
    r"(Z|([-+ ])([0-9]{2}):?([0-9]{2})?)?)?)?)?"
)


def parse_time(text: str, *formats: str) -> dt.datetime:
    """Return the time as naive UTC; one without an offset is UTC. Raises ValueError.

    ``formats`` are those of ``strptime``, for calls that take nothing but them; none means ISO 8601.
    """
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise ValueError("not a time")
    if not formats:
        return _parse_iso_8601(text)
    for form in formats:
        try:
            return _in_utc(dt.datetime.strptime(text, form))
        except ValueError:
            continue
    raise ValueError(f"{text!r} has none of the forms {formats}")


def _parse_iso_8601(text: str) -> dt.datetime:
    found = _ISO_8601.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not ISO 8601")
    year, dashed_month, month, dashed_day, day, hour, minute, second, fraction, zone, sign, hours, minutes = (
        found.groups()
    )
    moment = dt.datetime(
        int(year),
        int(dashed_month or month or 1),
        int(dashed_day or day or 1),
        int(hour or 0),
        int(minute or 0),
        int(second or 0),
        int((fraction or "")[:6].ljust(6, "0")),
    )
    if zone is None or zone == "Z":
        return moment
    offset = dt.timedelta(hours=int(hours), minutes=int(minutes or 0))
    return _in_utc(moment.replace(tzinfo=dt.timezone(-offset if sign == "-" else offset)))


def _in_utc(moment: dt.datetime) -> dt.datetime:
    if moment.tzinfo is None:
        return moment
    try:
        return moment.astimezone(dt.UTC).replace(tzinfo=None)
    except OverflowError:  # before the year 1, or after 9999
        raise ValueError(f"{moment.isoformat()} has no year in UTC") from None
