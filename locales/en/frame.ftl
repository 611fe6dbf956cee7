# Around every page.
skip-link = Skip to main content
signed-in-as = Signed in as { $name }
sign-out = Sign out
finish = Finish
help-title = Need help?
help-general = Ask our help desk, or your care team at your next visit.
help-emergency = In an emergency, call 911.
language-label = Language
error-prefix = Error:
