"""Pages for people: the base template with its one stylesheet, tables and charts that every report uses.

A page is one file without external references, so it can be opened from a folder, from S3 or in Airflow. HTML, SVG and
Markdown come from jinja2 templates alone; a report's own template stands beside the code that fills it.
"""
