"""What the pipeline does on the cluster, a file a stage."""
