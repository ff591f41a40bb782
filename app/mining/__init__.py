"""Frames worth labelling: where the detector doubts, flickers, contradicts itself or another one, or sees what is rare.

``signals`` finds reasons in records, ``appearance`` in pictures, ``select`` ranks frames so that no two show the same,
``task`` writes them as a COCO task with pre-labels, reasons and a contact sheet.
"""
