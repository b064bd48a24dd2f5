"""Every text that a user sees can be translated, and every name in a .ui file is one that there is."""

import ast
import re
import typing
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = [
    *sorted((ROOT / "SynthFoundation").glob("*.py")),
    *sorted((ROOT / "SynthFoundation" / "SynthFoundationModuleLib").glob("*.py")),
    *sorted((ROOT / "SegmentEditorFewShot").rglob("*.py")),
]
FORMS = sorted((ROOT / "SynthFoundation" / "Resources" / "UI").glob("*.ui"))
# Where a text ends up before a user's eyes: assigned to these, or handed to these.
SHOWN_ATTRIBUTES = {
    "text",
    "toolTip",
    "title",
    "helpText",
    "acknowledgementText",
    "windowTitle",
    "placeholderText",
}
SHOWING_CALLS = {
    "enable": (1, 2),
    "show_text": (1,),
    "UserError": (0,),
    "setTabText": (1,),
    "confirmOkCancelDisplay": (0,),
    "confirmYesNoDisplay": (0,),
    "errorDisplay": (0,),
    "_tell_state": (0,),
    "_say": (0,),
    "rich": (0,),
    "AddNewNodeByClass": (1,),
    "GenerateUniqueName": (0,),
    "setText": (0,),
    "setToolTip": (0,),
}
NOT_TEXT = re.compile(r"[\W\d_]*\Z")


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def literal(node):
    """The literal texts of an expression that no translation goes through."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("_", "translate"):
        return
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        yield from literal(node.func.value)
        return
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str) and not NOT_TEXT.match(node.value):
            yield node.value
    elif isinstance(node, ast.JoinedStr):
        for value in node.values:
            yield from literal(value)
    elif isinstance(node, ast.BinOp):
        yield from literal(node.left)
        yield from literal(node.right)
    elif isinstance(node, ast.IfExp):
        yield from literal(node.body)
        yield from literal(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from literal(value)


def untranslated(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            targets = [one.attr for one in node.targets if isinstance(one, ast.Attribute)]
            if SHOWN_ATTRIBUTES & set(targets):
                yield from literal(node.value)
        elif isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            for position in SHOWING_CALLS.get(name, ()):
                if position < len(node.args):
                    yield from literal(node.args[position])


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.name)
def test_every_text_shown_goes_through_translation(path):
    names_of_packages = {"PyTorch", "SynthFoundation", "<b>", "</b>", "<br>"}
    assert [text for text in untranslated(parsed(path)) if text not in names_of_packages] == []


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.name)
def test_translated_texts_are_plain_literals(path):
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
            assert len(node.args) == 1
            assert isinstance(node.args[0], ast.Constant), f"line {node.lineno}"
            assert isinstance(node.args[0].value, str)


def test_the_check_finds_what_it_looks_for():
    bad = """
ui.a.text = "Hello"
show_text(label, "x " + name)
raise UserError(f"No {name}")
label.setText(_("fine"))
"""
    assert len(list(untranslated(ast.parse(bad)))) == 3


def widgets(path):
    return {node.get("name"): node for node in ElementTree.parse(path).iter("widget")}


def parameter_names():
    tree = parsed(ROOT / "SynthFoundation" / "SynthFoundationModuleLib" / "parameters.py")
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "SynthFoundationParameterNode":
            return {one.target.id for one in node.body if isinstance(one, ast.AnnAssign)}
    return set()


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_every_bound_widget_has_its_parameter(path):
    for name, widget in widgets(path).items():
        for one in widget.findall("property"):
            if one.get("name") == "SlicerParameterName":
                assert one.findtext("string") in parameter_names(), name


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_every_scene_widget_gets_the_scene_and_every_choice_has_a_tool_tip(path):
    tree = ElementTree.parse(path)
    connected = {one.findtext("receiver") for one in tree.iter("connection")}
    for name, widget in widgets(path).items():
        kind = widget.get("class")
        if kind.startswith("qMRML") and kind != "qMRMLWidget":
            assert name in connected
        if kind in ("qMRMLNodeComboBox", "QCheckBox", "QComboBox", "ctkSliderWidget", "ctkPathLineEdit"):
            assert any(one.get("name") == "toolTip" for one in widget.findall("property")), name


def test_names_are_unique_among_all_forms_of_the_panel():
    names = [name for path in FORMS for name in widgets(path) if not name.endswith("Layout")]
    assert len(names) == len(set(names))


def used_widgets():
    """Names taken from `ui` in the code, with the file."""
    for path in CODE:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Attribute):
                owner = node.value
                is_ui = isinstance(owner, ast.Name) and owner.id == "ui"
                is_own = isinstance(owner, ast.Attribute) and owner.attr == "ui"
                if is_ui or is_own:
                    yield path.name, node.attr


def test_every_widget_that_the_code_uses_is_in_a_form():
    known = {name for path in FORMS for name in widgets(path)}
    used = set(used_widgets())
    assert len(used) > 40
    assert [(path, name) for path, name in used if name not in known] == []


def test_the_annotated_parameters_can_be_evaluated(host):
    from SynthFoundationModuleLib.parameters import SynthFoundationParameterNode

    assert typing.get_type_hints(SynthFoundationParameterNode).keys() >= parameter_names()
