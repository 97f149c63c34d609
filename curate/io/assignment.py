"""Images to sentences, each to one of its own, with the largest sum of similarities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]


def assign(scores: Scores) -> list[int]:
    """The column of each row so that the sum is largest and no column is used twice; -1: there is none left.

    `scores` has shape (images, sentences), all finite. The linear assignment that MMC4 and OmniCorpus place
    images by, solved with shortest augmenting paths (Kuhn 1955 in Jonker and Volgenant's form, 1987):
    O(n^2 m) for the shorter side n. Ties go to the first column.
    """
    if scores.shape[0] > scores.shape[1]:
        found = [-1] * scores.shape[0]
        for column, row in enumerate(assign(scores.T)):
            found[row] = column
        return found
    costs = -scores
    rows, columns = costs.shape
    row_price, column_price = np.zeros(rows), np.zeros(columns)
    owner = np.full(columns, -1)  # the row that holds a column
    for row in range(rows):
        best = np.full(columns, np.inf)  # length of the shortest path to each column
        came = np.full(columns, -1)  # the column before it on that path
        visited = np.zeros(columns, dtype=bool)
        here, at, length = row, -1, 0.0
        while True:
            paths = length + costs[here] - row_price[here] - column_price
            shorter = ~visited & (paths < best)
            best[shorter], came[shorter] = paths[shorter], at
            at = int(np.argmin(np.where(visited, np.inf, best)))
            length = best[at]
            visited[at] = True
            if owner[at] < 0:
                break
            here = int(owner[at])
        held = visited & (owner >= 0)
        row_price[row] += length
        row_price[owner[held]] += length - best[held]
        column_price[visited] -= length - best[visited]
        while at >= 0:  # turn the path over, from the free column back to the row
            before = int(came[at])
            owner[at] = row if before < 0 else owner[before]
            at = before
    return [int(np.flatnonzero(owner == row)[0]) for row in range(rows)]
