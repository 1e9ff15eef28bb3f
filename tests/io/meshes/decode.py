"""A glTF player in float64, written from the specification: what a viewer shows at an animation's keys."""

from __future__ import annotations

import json
import struct

import numpy as np
from scipy.spatial.transform import Rotation

KINDS = {5126: "<f4", 5123: "<u2", 5125: "<u4", 5121: "u1"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Player:
    """A .glb file, and its meshes at any key."""

    def __init__(self, path):
        content = path.read_bytes()
        magic, version, length = struct.unpack_from("<III", content)
        assert magic == 0x46546C67 and version == 2 and length == len(content)
        size, kind = struct.unpack_from("<II", content, 12)
        assert kind == 0x4E4F534A
        self.document = json.loads(content[20 : 20 + size])
        rest, kind = struct.unpack_from("<II", content, 20 + size)
        assert kind == 0x004E4942 and 28 + size + rest == len(content)
        self.buffer = content[28 + size :]

    def array(self, index):
        accessor = self.document["accessors"][index]
        view = self.document["bufferViews"][accessor["bufferView"]]
        width = WIDTHS[accessor["type"]]
        start = view["byteOffset"] + accessor.get("byteOffset", 0)
        found = np.frombuffer(self.buffer, KINDS[accessor["componentType"]], accessor["count"] * width, start)
        return found.reshape(-1, width) if width > 1 else found

    def animated(self):
        """{(node, path): (times, values)} of the first animation."""
        animation = self.document["animations"][0]
        found = {}
        for channel in animation["channels"]:
            sampler = animation["samplers"][channel["sampler"]]
            times, values = self.array(sampler["input"]), self.array(sampler["output"]).astype(float)
            if channel["target"]["path"] == "weights":
                values = values.reshape(len(times), -1)
            found[channel["target"]["node"], channel["target"]["path"]] = (times, values)
        return found

    def matrices(self, key):
        """Each node's world matrix at a key."""
        moves = self.animated()
        nodes = self.document["nodes"]
        world = {}

        def visit(index, above):
            node, local = nodes[index], np.eye(4)
            turn = (
                moves[index, "rotation"][1][key] if (index, "rotation") in moves else node.get("rotation", [0, 0, 0, 1])
            )
            shift = (
                moves[index, "translation"][1][key]
                if (index, "translation") in moves
                else node.get("translation", [0, 0, 0])
            )
            local[:3, :3] = Rotation.from_quat(turn).as_matrix()
            local[:3, 3] = shift
            world[index] = above @ local
            for child in node.get("children", ()):
                visit(child, world[index])

        for index in self.document["scenes"][self.document["scene"]]["nodes"]:
            visit(index, np.eye(4))
        return world

    def vertices(self, key):
        """The skinned mesh at a key, world coordinates."""
        index = next(i for i, node in enumerate(self.document["nodes"]) if "mesh" in node)
        node = self.document["nodes"][index]
        primitive = self.document["meshes"][node["mesh"]]["primitives"][0]
        points = self.array(primitive["attributes"]["POSITION"]).astype(float)
        weights = self.animated()[index, "weights"][1][key]
        for weight, target in zip(weights, primitive["targets"], strict=True):
            points = points + weight * self.array(target["POSITION"])
        world = self.matrices(key)
        skin = self.document["skins"][node["skin"]]
        inverse = self.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
        bones = np.stack([world[j] @ m for j, m in zip(skin["joints"], inverse, strict=True)])
        total = np.zeros((len(points), 4, 4))
        sets = sum(name.startswith("JOINTS_") for name in primitive["attributes"])
        for k in range(sets):
            which = self.array(primitive["attributes"][f"JOINTS_{k}"])
            share = self.array(primitive["attributes"][f"WEIGHTS_{k}"])
            total += (share[:, :, None, None] * bones[which]).sum(1)
        return np.einsum("vab,vb->va", total[:, :3], np.pad(points, ((0, 0), (0, 1)), constant_values=1.0))
