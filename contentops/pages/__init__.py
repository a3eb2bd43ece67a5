"""Makes the web pages of `contentops review`, which are served to a browser or written as files.

How a page is added:

1. A view function takes the `Site` and the query, calls an operation of `operations/`, and returns a `PageContent`: the
   name of its template, its title, the tab it belongs to, and its model: what the operation returned, in a struct of
   the page only if that needs more.
2. A template in `templates/` extends `base.html`, reads the model as `model` and says it in words; `macros.html` has
   what several pages draw. `links` has the addresses of the other pages; they are relative files in the static export,
   so no template spells an address. `site.static` says that there are no forms.
3. `app.py` gets a line in `ROUTES`; a form gets one in `forms.py`, and its template `{{ secret }}` inside `<form>`.

Autoescape is on. Text of people and servers has `visible` as a filter where it is on one line, and `dir="auto"`.
No template has a script, a style attribute or a style element: a header makes the browser refuse them.
"""
