"""Makes `required_attributes.json` of the tables of PS3.3 that highdicom carries: `python -m imaging.gate.generate`.

Those tables hold every IOD and take 200 MiB when they are loaded. Here is what the gate needs of them: the attributes
of type 1 and 2 (PS3.5 7.4) of the objects that we make, as a tree of their sequences.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from highdicom import _standard_utils as standard

TABLE: Final = Path(__file__).with_name("required_attributes.json")

_OBJECTS: Final = {
    "1.2.840.10008.5.1.4.1.1.2": ("ct-image", ("general-reference",)),
    "1.2.840.10008.5.1.4.1.1.4": ("mr-image", ("general-reference",)),
    # Ours have a place in the patient.
    "1.2.840.10008.5.1.4.1.1.7": ("secondary-capture-image", ("general-equipment", "general-reference")),
    "1.2.840.10008.5.1.4.1.1.66.4": ("segmentation", ("frame-of-reference", "common-instance-reference")),
    "1.2.840.10008.5.1.4.1.1.66.7": ("segmentation", ("frame-of-reference", "common-instance-reference")),
    "1.2.840.10008.5.1.4.1.1.88.34": ("comprehensive-3d-sr", ()),
    "1.2.840.10008.5.1.4.1.1.88.59": ("key-object-selection-document", ()),
    "1.2.840.10008.5.1.4.1.1.104.1": ("encapsulated-pdf", ()),
}
"""IOD by SOP Class UID, and the modules that it need not have and ours always do."""

_OWN_SEQUENCES: Final = frozenset(
    {
        "ConceptNameCodeSequence",
        "CurrentRequestedProcedureEvidenceSequence",
        "DerivationCodeSequence",
        "DimensionIndexSequence",
        "DimensionOrganizationSequence",
        "PerformedProcedureCodeSequence",
        "PredecessorDocumentsSequence",
        "ReferencedInstanceSequence",
        "ReferencedSOPSequence",
        "ReferencedSeriesSequence",
        "SegmentSequence",
        "SegmentationAlgorithmIdentificationSequence",
        "SegmentedPropertyCategoryCodeSequence",
        "SegmentedPropertyTypeCodeSequence",
        "SourceImageSequence",
        "SourceInstanceSequence",
        "VerifyingObserverSequence",
    }
)
"""Those that we write. Others are taken over from the source as they are, faults of the sender included;
functional groups are read by `imaging.gate.image_place`."""

_STRICTEST_FIRST: Final = ("1", "2", "1C", "2C", "3")
_CONTENT_TREE: Final = "sr-document-content"
"""Its items contain themselves without an end; `imaging.gate.sr_template` walks them."""


def required_attributes() -> dict[str, dict[str, Any]]:
    """By SOP Class UID: `{"iod": name, "attributes": {keyword: [type, {keyword: …}]}}`."""
    modules, attributes = standard.get_iod_module_map(), standard.get_module_attribute_map()
    table: dict[str, dict[str, Any]] = {}
    for uid, (iod, always) in _OBJECTS.items():
        tree: dict[str, Any] = {}
        for module in modules[iod]:
            if module["key"] != _CONTENT_TREE and (module["usage"] == "M" or module["key"] in always):
                for attribute in attributes[module["key"]]:
                    _add(tree, attribute)
        table[uid] = {"iod": iod, "attributes": _needed(tree)}
    return table


def _add(tree: dict[str, Any], attribute: dict[str, Any]) -> None:
    """One row of a module; of several types of the same attribute the strictest counts (PS3.3 A.1.3)."""
    if not _OWN_SEQUENCES.issuperset(attribute["path"]):
        return
    for keyword in attribute["path"]:
        tree = tree.setdefault(keyword, ["3", {}])[1]
    node = tree.setdefault(attribute["keyword"], [attribute["type"], {}])
    node[0] = min(node[0], attribute["type"], key=_STRICTEST_FIRST.index)


def _needed(tree: dict[str, Any]) -> dict[str, Any]:
    """The tree without what is neither required nor holds something that is."""
    needed: dict[str, Any] = {}
    for keyword, (kind, items) in sorted(tree.items()):
        below = _needed(items)
        if kind in ("1", "2") or below:
            needed[keyword] = [kind, below] if below else [kind]
    return needed


def text() -> str:
    """What belongs into the file."""
    return json.dumps(required_attributes(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    TABLE.write_text(text())
