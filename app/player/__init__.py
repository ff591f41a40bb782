"""The player: a clip with everything known of it drawn over it in step, in any browser; for the page and for reports.

``player.js`` draws what ``data.player_data`` prepares; nothing is encoded again to switch a layer on or off.
"""
