"""What is given back: objects, frames, bulk values, as they are kept or encoded anew."""
