"""One module for each library; its ``make`` is called where that library is installed."""
