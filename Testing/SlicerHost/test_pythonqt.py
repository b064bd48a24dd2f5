import ctk
import pytest
import qt
import slicer


def test_properties_are_attributes(host):
    button = qt.QPushButton("go")
    assert (button.text, button.enabled, button.checkable) == ("go", True, False)
    button.enabled = False
    assert not button.isEnabled()
    button.setText("stop")
    assert button.text == "stop"


def test_signals_are_connected_by_their_signature(host):
    button, seen = qt.QPushButton(), []
    button.checkable = True
    button.connect("clicked()", lambda *a: seen.append(a))
    button.connect("clicked(bool)", lambda *a: seen.append(a))
    button.click()
    assert seen == [(), (True,)]
    button.disconnect("clicked()")
    button.click()
    assert seen[2:] in ([(False,)], [])


def test_a_wrong_signature_is_an_error(host):
    with pytest.raises(ValueError, match="no signal 'clickd"):
        qt.QPushButton().connect("clickd()", print)
    with pytest.raises(TypeError, match="cannot connect"):
        qt.QPushButton().connect("clicked()", 3)


def test_what_a_slot_raises_is_noted(host):
    button = qt.QPushButton()
    button.connect("clicked()", lambda: 1 / 0)
    button.click()
    assert "ZeroDivisionError" in host.errors.pop()


def test_static_functions_stay_beside_properties_of_their_name(host):
    done = []
    qt.QTimer.singleShot(0, lambda: done.append(True))
    host.wait(lambda: done, 2)


def test_objects_that_qt_made_are_instances(host):
    box = qt.QDialogButtonBox(qt.QDialogButtonBox.Ok)
    assert isinstance(box.button(qt.QDialogButtonBox.Ok), qt.QPushButton)


def test_a_collapsed_section_hides_its_contents_but_does_not_show_what_the_module_hid(host):
    section = ctk.ctkCollapsibleButton("Advanced")
    layout, shown, hidden = qt.QVBoxLayout(section), qt.QLabel("a"), qt.QLabel("b")
    layout.addWidget(shown)
    layout.addWidget(hidden)
    hidden.hide()
    section.collapsed = True
    assert shown.isHidden()
    section.collapsed = False
    assert not shown.isHidden()
    assert hidden.isHidden()


def test_slider_keeps_to_its_range(host):
    slider, seen = ctk.ctkSliderWidget(), []
    slider.connect("valueChanged(double)", seen.append)
    slider.minimum, slider.maximum = 0.5, 2.0
    slider.value = 9.0
    assert slider.value == seen[-1] == 2.0


def test_slider_shows_its_value_when_its_range_changes(host):
    slider = ctk.ctkSliderWidget()
    slider.minimum, slider.maximum = -3, 3
    handle = slider.findChildren(qt.QSlider)[0]
    assert (slider.value, handle.value) == (0, handle.maximum // 2)


def test_an_unexpected_message_box_fails(host):
    host.application.testing = False
    with pytest.raises(AssertionError, match="really"):
        slicer.util.confirmOkCancelDisplay("really?")
    ctk.ctkMessageBox.answers.append(qt.QMessageBox.Cancel)
    assert not slicer.util.confirmOkCancelDisplay("really?")


def test_the_size_that_a_widget_wants_is_read_before_and_after_it_is_shown(host):
    widget = slicer.qMRMLWidget()
    qt.QVBoxLayout(widget).addWidget(qt.QLabel("text"))
    widget.show()
    assert widget.sizeHint.height() >= widget.minimumSizeHint.height() > 0
    widget.deleteLater()
