"""The synthetic signer: lexicon, motion, landmarks and video with exact ground truth."""
