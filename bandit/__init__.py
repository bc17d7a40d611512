"""The product's core: choosing, recording, learning. Knows no HTTP and no command line."""
