"""The local intrinsic dimension of a set of points, estimated from distances to neighbours."""

import torch


def local_dimension(points: torch.Tensor, neighbours: int) -> float:
    """Mean over the points of the maximum-likelihood estimate from their nearest neighbours.

    With distances r_1 <= ... <= r_k of a point to its neighbours, that is
    -k / sum_i log(r_i / r_k) (Amsaleg et al., KDD 2015). It is too low where the dimension is high
    for the number of points. Points whose neighbours all coincide with them count as 0.

    Args:
        points: [N, ...], flattened per point; N at least 3.
        neighbours: k; at most N - 1 are used.
    """
    flat = points.flatten(1).double()
    count = min(neighbours, len(flat) - 1)
    if count < 2:
        raise ValueError(f"{len(flat)} points: at least 3 are needed")
    # The smallest distance of each point is that to itself.
    nearest = torch.cdist(flat, flat).topk(count + 1, largest=False, sorted=True).values[:, 1:]
    farthest = nearest[:, -1:]
    smallest = torch.finfo(nearest.dtype).tiny
    logs = (nearest / farthest.clamp_min(smallest)).clamp(1e-12, 1).log().sum(1)
    # All at one distance: as high a dimension as so many neighbours can tell from any other.
    found = -count / logs.clamp_max(-1e-3)
    return float(found.where(farthest[:, 0] > 0, 0.0).mean())
