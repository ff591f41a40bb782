"""Rendered road scenes whose truth is known exactly."""

from perception.synthetic.scenes import SCENES, make_scene
from perception.synthetic.truth import FrameTruth, ObjectTruth
from perception.synthetic.world import Options, Scene

__all__ = ["SCENES", "FrameTruth", "ObjectTruth", "Options", "Scene", "make_scene"]
