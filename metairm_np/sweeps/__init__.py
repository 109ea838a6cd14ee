"""Many trials: serial, in local processes or on Dask, whatever stops them."""
