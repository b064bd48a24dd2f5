"""Registration and few-shot segmentation of medical volumes on features learned from synthetic data.

Importing this package loads neither torch nor any other heavy module; take what you need from its folders:
`geometry`, `images`, `points`, `features`, `registration`, `segmentation`, `synthesis`, `pretraining`,
`report`.
"""

__version__ = "0.1.0"
