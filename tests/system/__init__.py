"""System tests: `parley up`, the command line and the pages, as users see them."""
