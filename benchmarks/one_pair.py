"""One pair in a process of its own, as the data set's original script made each of its pairs.

An imitation in a few lines of OpenCV, lighter to import than the original: decode, threshold,
place, blend in straight alpha, alter, and write two PNGs of the background's size.
"""

import sys

import cv2
import numpy as np

human_path, background_path, image_path, mask_path, seed = sys.argv[1:]
rng = np.random.default_rng(int(seed))
human = cv2.imread(human_path, cv2.IMREAD_UNCHANGED)
background = cv2.imread(background_path, cv2.IMREAD_COLOR)
height, width = background.shape[:2]

human[human[..., 3] < 160] = 0
scale = max(height, width) / max(human.shape[:2]) * rng.uniform(0.3, 1.5)
turn = cv2.getRotationMatrix2D((human.shape[1] / 2, human.shape[0] / 2), rng.uniform(-5, 5), scale)
turn[:, 2] += (width / 2 - human.shape[1] / 2, height / 2 - human.shape[0] / 2)
placed = cv2.warpAffine(human, turn, (width, height))
alpha = placed[..., 3:].astype(np.float32) / 255
image = placed[..., :3] * alpha + background * (1 - alpha)

image *= rng.uniform(0.6, 1.0)
image += rng.normal(0, rng.uniform(1, 10) ** 0.5, image.shape)
image = np.clip(image, 0, 255).astype(np.uint8)
hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
hsv[..., 1] = (hsv[..., 1] * rng.uniform(0.3, 1.0)).astype(np.uint8)
image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)

cv2.imwrite(image_path, image)
cv2.imwrite(mask_path, placed[..., 3])
