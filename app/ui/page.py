"""What ``streamlit run`` starts; alone in its folder, which Streamlit puts first on the import path."""

from app.web.site import show

show()
