"""The console: a page that shows the cluster live, served by every coordinator."""
