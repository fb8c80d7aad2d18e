"""What all calls of outside services share: what a failure means, and which proxy leads to them."""
