"""What runs beside TTA in processes of its own.

A fork server imports `tta_tools` once. For each call it forks a supervisor, and that a worker, which calls the tool.
The worker runs a stranger's code; the other two run none, and outlive whatever it does.
"""
