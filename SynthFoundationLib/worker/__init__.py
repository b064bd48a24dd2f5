"""A second process that does the heavy work, and the client that drives it.

`python -m SynthFoundationLib.worker --exchange FOLDER` is the process; `client.WorkerClient` starts it and
talks to it. README.md beside this file describes every message. Importing this package, or the client, loads
neither torch nor SimpleITK.
"""
