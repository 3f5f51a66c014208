"""Archives: windows of many rasters, encoded once and asked often."""
