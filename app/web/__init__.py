"""What the page is made of; the script that Streamlit runs is app/ui/page.py."""
