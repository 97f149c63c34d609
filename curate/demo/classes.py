"""The object classes of the normal pool and of the held-out one, by name.

To keep "a red car" a red car for a model, the parts in an object's own colour always dominate.
"""

from __future__ import annotations

from curate.demo.classes_held_out import HELD_OUT
from curate.demo.classes_nature import NATURE
from curate.demo.classes_things import THINGS
from curate.demo.shapes import ObjectClass

CLASSES = {item.name: item for item in (*NATURE, *THINGS)}
HELD_OUT_CLASSES = {item.name: item for item in HELD_OUT}
assert not CLASSES.keys() & HELD_OUT_CLASSES.keys()


def class_of(name: str) -> ObjectClass:
    """The class of that name, of either pool."""
    return CLASSES[name] if name in CLASSES else HELD_OUT_CLASSES[name]
