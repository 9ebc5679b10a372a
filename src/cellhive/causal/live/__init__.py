"""What following a network period by period needs: running statistics, drift, snapshots."""
