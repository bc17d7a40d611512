from __future__ import annotations

from typing import Any, get_args, get_type_hints

from msgspec import UnsetType

from api.schemas import BanditAnswer, BanditPatch
from bandit.types import SHOWN_BESIDE, BanditConfig


def test_each_field_of_a_configuration_can_be_changed_within_the_same_bounds() -> None:
    whole = get_type_hints(BanditConfig, include_extras=True)
    patch = get_type_hints(BanditPatch, include_extras=True)
    assert whole.keys() <= patch.keys()
    for field, hint in whole.items():
        wanted = {UnsetType, *_members(hint)}
        assert set(_members(patch[field])) == wanted, field


def test_what_is_shown_beside_a_configuration_is_known_where_it_is_read_back() -> None:
    assert set(BanditAnswer.__struct_fields__) - set(BanditConfig.__struct_fields__) == SHOWN_BESIDE


def _members(hint: Any) -> tuple[Any, ...]:
    """Of a union its members, of anything else itself."""
    is_union = type(None) in get_args(hint) or UnsetType in get_args(hint)
    return get_args(hint) if is_union else (hint,)
