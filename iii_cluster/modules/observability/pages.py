"""Pages of records that are being passed on: up to where everything is done. Pure."""

from collections import deque


class Page:
    """Records read together. `done` once for each `begin`, and once by the reader."""

    __slots__ = ("left", "place")

    def __init__(self, place: str) -> None:
        self.place = place  # in the stream, behind the last of them
        self.left = 1

    def begin(self) -> None:
        self.left += 1

    def done(self) -> None:
        self.left -= 1


class Pages:
    def __init__(self) -> None:
        self._pages: deque[Page] = deque()

    def __len__(self) -> int:
        return len(self._pages)

    def read(self, place: str) -> Page:
        page = Page(place)
        self._pages.append(page)
        return page

    def passed(self) -> str:
        """The place that everything before is done with; "" if nothing new is."""
        place = ""
        while self._pages and self._pages[0].left <= 0:
            place = self._pages.popleft().place
        return place

    def clear(self) -> None:
        self._pages.clear()
