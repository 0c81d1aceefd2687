"""Every rule of the simulated ioctls in one table, in the order in which the kernel checks them."""

from __future__ import annotations

from .caps import CAP_RULES
from .dirty import LOG_RULES, RESET_RULES
from .gmem import GMEM_RULES
from .region_rules import REGION_RULES
from .rule import Rule

#: The rules of one call follow each other in order of evaluation; ids are unique.
RULES: tuple[Rule, ...] = (*REGION_RULES, *GMEM_RULES, *LOG_RULES, *RESET_RULES, *CAP_RULES)


def rule(rule_id: str) -> Rule:
    """Return the rule of that id.

    Raises KeyError when there is none.

    >>> rule("overlap").errno_name
    'EEXIST'
    >>> rule("taste")
    Traceback (most recent call last):
    KeyError: 'taste'
    """
    return _BY_ID[rule_id]


_BY_ID = {each.id: each for each in RULES}
