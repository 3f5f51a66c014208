"""Wall-to-wall maps of scene classes: windows of a raster, their vectors, cells, and archives of many rasters."""
