"""Batches of given arrays."""


class ArrayLoader:
    """A loader of given arrays."""

    def __init__(self, images, labels, batch_size):
        self.images, self.labels, self.batch_size = images, labels, batch_size
        self.num_examples = len(labels)

    def __len__(self):
        return -(-self.num_examples // self.batch_size)

    def epoch(self, epoch, start=0):
        for start in range(0, self.num_examples, self.batch_size):
            yield self.images[start : start + self.batch_size], self.labels[start : start + self.batch_size]
