"""The pages of `contentops review` and `contentops queue --serve`, served to a browser or written as files.

How a page is added:

1. An operation in `operations/` returns what the page shows, as a frozen struct: its view model.
2. A view function in this room takes the `Site` and the query, calls that operation, and returns a `PageContent`: the
   name of its template, its title, the tab it belongs to, and the view model.
3. A template in `templates/` extends `base.html` and reads the view model as `model`. `links` has the addresses of the
   other pages; they are relative files in the static export, so no template spells an address. `site.static` says that
   there are no forms.
4. `app.py` gets a line in `ROUTES`; a form gets one in `forms.py`, and its template `{{ secret }}` inside `<form>`.

Autoescape is on. Text of people and servers has `visible` as a filter where it stands on one line, and `dir="auto"`.
No template has a script, a style attribute or a style element: the browser is told to refuse them.
"""
