"""Every array of the golden GAGAvatar numbers, from one run of each part of a network, on the device it is on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bridge.gagavatar import GAGAvatar, heads, lifting
from bridge.gagavatar.dpt import enlarge

# Largest difference allowed, as a share of the array's standard deviation; the measured ones are 3 to 50 times smaller.
TOLERANCE = {
    "dino": 1e-4,
    "dpt_project": 1e-4,
    "dpt": 3e-4,
    "local": 3e-4,
    "global": 1e-4,
    "linear": 1e-4,
    "conv": 1e-4,
}
TOLERANCE |= {"gs": 5e-4, "style": 1e-4}
ABSOLUTE = {"dir_encoding": 5e-6, "plane": 2e-5, "style_image": 2e-5}
UNTESTED = {"gs_index", "gs_stats", "dirs", "transforms"}  # read, or compared in another way


@torch.no_grad()
def arrays(model: GAGAvatar, inputs: dict[str, Any], index: Any) -> dict[str, Any]:
    """Tensors under the names of the golden file (and "stats"), given its inputs and `gs_index` on the model's device."""
    kept: dict[str, Any] = {}

    def watch(module: Any, name: str, cut: Callable[[Any], Any]) -> Any:
        return module.register_forward_hook(lambda _m, _i, output: kept.__setitem__(name, cut(output)))

    hooks = [*_watch_encoder(model, watch), *_watch_decoder(model, watch)]
    image = inputs["image"][0].permute(1, 2, 0)
    identity = model.encode(image, inputs["transforms"][0])
    style_in = torch.cat([inputs["styleunet_in"], inputs["styleunet_in"].flip(-1)])
    picture = model.decode(style_in.permute(0, 2, 3, 1), "fixed").permute(0, 3, 1, 2)
    for hook in hooks:
        hook.remove()
    plane, token = kept.pop("encoded")
    kept |= {
        "global_token": token[0],
        "local_feat": plane[0, ::8, ::8, ::8],
        "local_feat_ch17": plane[0, 17],
        "local_feat_px": plane[0, :, 148, 101],
        "local_feat_resized": enlarge(plane, 64)[0, ::8, ::2, ::2],
        "style_image": picture[0, :, ::2, ::2],
        "style_image_block": picture[0, :, 200:248, 200:248],
        "style_image_flipped": picture[1, :, ::4, ::4],
        "dir_encoding": heads.encode_directions(inputs["dirs"]),
    }
    kept |= _heads(model, inputs)
    points, kept["plane_dirs"] = lifting.plane(inputs["transforms"], 296)
    kept["plane_points"] = points[:, ::271]
    kept["plane5_points"] = lifting.plane(inputs["transforms"], 5)[0]
    kept |= _gaussians(identity, inputs, index)
    return kept


def differences(found: dict[str, Any], golden: dict[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """For each golden array the largest difference and the allowed one."""
    wanted = {k for k in golden if not k.startswith(("weights_", "probe_"))} - UNTESTED
    assert wanted <= set(found)
    apart = {}
    for name in sorted(wanted):
        value = found[name]
        if name.startswith("dino_norm"):
            value = value[int(name[-1])][0, ::111, ::16]
        value, expected = value.detach().cpu().numpy(), golden[name]
        assert value.shape == expected.shape, name
        absolute = next((t for start, t in ABSOLUTE.items() if name.startswith(start)), None)
        relative = next((t for start, t in TOLERANCE.items() if name.startswith(start)), 0)
        allowed = absolute if absolute is not None else relative * expected.std()
        apart[name] = (float(np.abs(value - expected).max()), float(allowed))
    return apart


def _watch_encoder(model: GAGAvatar, watch: Callable) -> list:
    base = model.base_model
    hooks = [watch(base.dino_model.blocks[i], f"dino_block{i:02d}", lambda x: x[0, ::137, ::16]) for i in (0, 5, 11)]
    hooks += [
        watch(base, "encoded", lambda x: x),
        watch(base.refinenet[0], "dpt_refine0", lambda x: x[0, ::16, ::4, ::4]),
        watch(base.refinenet[1], "dpt_refine1", lambda x: x[0, ::16, ::7, ::7]),
        watch(base.refinenet[2], "dpt_refine2", lambda x: x[0, ::16, ::13, ::13]),
        watch(base.refinenet[3], "dpt_refine3", lambda x: x[0, ::16, ::29, ::29]),
    ]
    for i, k in enumerate((13, 7, 4, 3)):
        hooks += [
            watch(base.projects[i], f"dpt_project{i}", lambda x: x[0, ::32, ::4, ::4]),
            watch(base.resize_layers[i], f"dpt_resize{i}", lambda x, k=k: x[0, ::32, ::k, ::k]),
            watch(base.layer_rn[i], f"dpt_rn{i}", lambda x, k=k: x[0, ::16, ::k, ::k]),
            watch(base.dino_model, f"dino_norm{i}", lambda x: x),
        ]
    return hooks


def _watch_decoder(model: GAGAvatar, watch: Callable) -> list:
    net = model.upsampler
    generator = net.stylegan_decoder
    hooks = [
        watch(net.final_linear, "style_code", lambda x: x[0]),
        watch(generator.style_mlp, "style_latent", lambda x: x[0]),
        watch(generator.style_conv1, "style_conv_first", lambda x: x[0, ::16]),
        watch(generator.to_rgb1, "style_rgb_first", lambda x: x[0]),
    ]
    for i in range(7):
        s, q = max(1, 2 ** (i + 3) // 16), max(1, 256 // 2**i // 16)
        wide = lambda x, s=s: x[0, ::16, ::s, ::s]  # noqa: E731
        hooks += [
            watch(net.conv_body_down[i], f"style_down{i}", lambda x, q=q: x[0, ::8, ::q, ::q]),
            watch(net.conv_body_up[i], f"style_up{i}", lambda x, s=s: x[0, ::8, ::s, ::s]),
            watch(net.condition_scale[i], f"style_scale{i}", wide),
            watch(net.condition_shift[i], f"style_shift{i}", wide),
            watch(generator.style_convs[2 * i], f"style_conv{2 * i}", wide),
            watch(generator.style_convs[2 * i + 1], f"style_conv{2 * i + 1}", wide),
            watch(generator.to_rgbs[i], f"style_rgb{i}", lambda x, s=s: x[0, :, ::s, ::s]),
        ]
    return hooks


def _heads(model: GAGAvatar, inputs: dict) -> dict[str, Any]:
    vertex = torch.cat([model.head_base.expand(2, -1, -1), inputs["global_feat"][:, None].expand(-1, 5023, -1)], -1)
    runs = {
        "linear": (model.gs_generator_g(vertex, inputs["dirs"][:2]), slice(0, 64)),
        "conv0": (model.gs_generator_l0(inputs["conv_feat"], inputs["dirs"][2:]), slice(None, None, 3)),
        "conv1": (model.gs_generator_l1(inputs["conv_feat"], inputs["dirs"][2:]), slice(None, None, 3)),
    }
    names = {"colors": "colors", "opacities": "opacities", "scales": "scales", "quaternions": "rotations"}
    names["positions"] = "positions"
    return {
        f"{head}_{names[field]}": value[:, rows]
        for head, (splats, rows) in runs.items()
        for field, value in splats._asdict().items()
        if value is not None
    }


def _gaussians(identity: Any, inputs: dict, index: Any) -> dict[str, Any]:
    whole = {
        "gs_xyz": torch.cat([inputs["t_points"][0], identity.points]),
        "gs_scales": identity.scales,
        "gs_opacities": identity.opacities[:, None],
        "gs_rotations": identity.quaternions,
        "gs_colors": identity.features,
    }
    full = identity.covariances()[index]
    upper = torch.stack([full[:, i, j] for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))], -1)
    parts = (slice(0, 5023), slice(5023, 5023 + 87616), slice(5023 + 87616, None))
    order = ("gs_xyz", "gs_scales", "gs_opacities", "gs_rotations", "gs_colors")
    stats = [
        [[float(f(whole[name][part].double())) for f in (torch.mean, _std, torch.min, torch.max)] for name in order]
        for part in parts
    ]
    return {name: value[index] for name, value in whole.items()} | {"gs_cov3d": upper, "stats": torch.tensor(stats)}


def _std(x: Any) -> Any:
    return x.std(correction=0)
