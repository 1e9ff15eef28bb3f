"""The named peer of the rasterizer benchmark: a straightforward PyTorch tile compositor, differentiable by autograd.

Same semantics as `bridge.rasterize`. Projection and binning are vectorised over Gaussians; compositing loops over 16x16
tiles and, inside a tile, over chunks of Gaussians with a cumulative product, stopping when the tile is opaque.
"""

from __future__ import annotations

import torch

TILE, CHUNK = 16, 128


def rasterize(means, covariances, opacities, features, viewmat, K, width, height):
    """(H, W, C) features over black and (H, W) alpha of torch tensors; see `bridge.rasterize`."""
    centres, conics, depths, drawn = project(means, covariances, viewmat, K, width, height)
    drawn = drawn & (opacities > 1 / 255)
    order = torch.argsort(torch.where(drawn, depths, torch.inf), stable=True)[: int(drawn.sum())]
    centres, conics, opacities, features = centres[order], conics[order], opacities[order], features[order]
    tiles = bin_tiles(centres, conics, opacities, width, height)
    rows, columns = -(-height // TILE), -(-width // TILE)
    pictures = []
    y, x = torch.meshgrid(torch.arange(TILE) + 0.5, torch.arange(TILE) + 0.5, indexing="ij")
    for tile in range(rows * columns):
        at_x = x.reshape(-1) + tile % columns * TILE
        at_y = y.reshape(-1) + tile // columns * TILE
        light = torch.ones(TILE * TILE)
        live = torch.ones(TILE * TILE, dtype=torch.bool)
        out = torch.zeros(TILE * TILE, features.shape[1])
        for part in torch.split(tiles[tile], CHUNK) if len(tiles[tile]) else ():
            dx, dy = at_x[None] - centres[part, 0, None], at_y[None] - centres[part, 1, None]
            a, b, c = (conics[part, k, None] for k in range(3))
            alpha = opacities[part, None] * torch.exp(-0.5 * (a * dx**2 + c * dy**2) - b * dx * dy)
            alpha = torch.where(alpha < 1 / 255, 0, alpha.clamp(max=0.99))
            after = light[None] * torch.cumprod(1 - alpha, 0)
            kept = (after >= 1e-4) & live[None]
            alpha = alpha * kept
            before = light[None] * torch.cumprod(torch.cat([torch.ones_like(alpha[:1]), 1 - alpha[:-1]]), 0)
            out = out + (before * alpha).T @ features[part]
            light = before[-1] * (1 - alpha[-1])
            live = live & kept[-1]
            if not live.any():
                break
        pictures.append(torch.cat([out, 1 - light[:, None]], 1))
    whole = torch.stack(pictures).view(rows, columns, TILE, TILE, -1).permute(0, 2, 1, 3, 4)
    whole = whole.reshape(rows * TILE, columns * TILE, -1)[:height, :width]
    return whole[..., :-1], whole[..., -1]


def project(means, covariances, viewmat, K, width, height):
    """Centres, conics, depths, and a mask of drawn Gaussians."""
    seen = means @ viewmat[:3, :3].T + viewmat[:3, 3]
    drawn = seen[:, 2] > 0.2
    z = torch.where(drawn, seen[:, 2], 1)
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    u = (seen[:, 0] / z).clamp(-1.3 * width / 2 / fx, 1.3 * width / 2 / fx)
    v = (seen[:, 1] / z).clamp(-1.3 * height / 2 / fy, 1.3 * height / 2 / fy)
    zero = torch.zeros_like(z)
    jacobian = torch.stack(
        [torch.stack([fx / z, zero, -fx * u / z], 1), torch.stack([zero, fy / z, -fy * v / z], 1)], 1
    )
    jacobian = jacobian @ viewmat[:3, :3]
    flat = jacobian @ covariances @ jacobian.transpose(1, 2)
    xx, yy, xy = flat[:, 0, 0] + 0.3, flat[:, 1, 1] + 0.3, flat[:, 0, 1]
    determinant = xx * yy - xy * xy
    centres = torch.stack([fx * seen[:, 0] / z + cx, fy * seen[:, 1] / z + cy], 1)
    return centres, torch.stack([yy, -xy, xx], 1) / determinant[:, None], seen[:, 2], drawn & (determinant > 0)


@torch.no_grad()
def bin_tiles(centres, conics, opacities, width, height):
    """For every tile, the Gaussians in depth order whose 1/255 box touches it."""
    determinant = conics[:, 0] * conics[:, 2] - conics[:, 1] ** 2
    reach = 2 * torch.log(255 * opacities) / determinant
    dx, dy = torch.sqrt(reach * conics[:, 2]), torch.sqrt(reach * conics[:, 0])
    columns, rows = -(-width // TILE), -(-height // TILE)
    x0 = ((centres[:, 0] - dx) / TILE).floor().clamp(0, columns).long()
    x1 = ((centres[:, 0] + dx) / TILE).floor().add(1).clamp(0, columns).long()
    y0 = ((centres[:, 1] - dy) / TILE).floor().clamp(0, rows).long()
    y1 = ((centres[:, 1] + dy) / TILE).floor().add(1).clamp(0, rows).long()
    count = (x1 - x0).clamp(min=0) * (y1 - y0).clamp(min=0)
    gaussian = torch.repeat_interleave(torch.arange(len(centres)), count)
    within = torch.arange(len(gaussian)) - torch.repeat_interleave(count.cumsum(0) - count, count)
    wide = (x1 - x0)[gaussian]
    tile = (y0[gaussian] + within // wide) * columns + x0[gaussian] + within % wide
    order = torch.argsort(tile, stable=True)
    counts = torch.bincount(tile, minlength=rows * columns)
    return torch.split(gaussian[order], counts.tolist())
