"""What the demo's first start says."""

import pytest
from sqlalchemy.orm import Session

from app.db import transaction
from app.demo.setup import what_came_in
from app.operations.queries import overview
from app.tables import Post
from tests.factories import make_candidate


@pytest.mark.usefixtures("own_database")
def test_the_demo_counts_posts_pictures_and_candidates_as_home_does() -> None:
    with transaction() as session:
        three_candidates_of_two_posts(session)
    with transaction() as session:
        funnel = overview(session).funnel
    assert (funnel.imported, funnel.images) == (3, 2)
    assert what_came_in() == "2 sample posts with 2 pictures are in, 3 candidates."


def three_candidates_of_two_posts(session: Session) -> None:
    """The two pictures of one post, of which another post has the second too."""
    first = make_candidate(session)
    second = make_candidate(session, post=session.get_one(Post, first.post_id), position=2)
    make_candidate(session).image_id = second.image_id
