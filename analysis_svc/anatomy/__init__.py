"""Where the body and the lungs are in a CT: masks that several models need."""
