"""Dense features of medical volumes: the pretrained U-Net, MIND-SSC, and what runs them."""
