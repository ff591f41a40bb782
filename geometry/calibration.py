"""Calibration under one roof: chessboards for intrinsics, a road for the mount, and the mount while driving."""

from geometry.flow import CameraMotion, camera_motion
from geometry.online_calibration import CalibrationConfig, LaneCue, MountReport, OnlineCalibration

__all__ = ["CalibrationConfig", "CameraMotion", "LaneCue", "MountReport", "OnlineCalibration", "camera_motion"]
