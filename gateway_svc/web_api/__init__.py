"""The JSON that the web page reads: what DICOMweb does not cover, as the services' contracts tell it."""
