"""Panels and adapters of the module SynthFoundation: between the MRML scene and the worker process.

No tensor is ever seen here; all heavy work is done by `SynthFoundationLib.worker` in a second process.
"""
