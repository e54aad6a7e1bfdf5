"""offdecode transactions: each transaction in the log, and what an open one holds back."""

from __future__ import annotations

from functools import partial

import click

from offdecode.cli.options import Taken, output_of, paths_argument, takes
from offdecode.options import GROUPS, TIMES, Filter, Output, Reading, Source, TransactionOptions


@click.command("transactions")
@paths_argument
@takes(Source, Taken(Filter, (*GROUPS, *TIMES)), TransactionOptions, Reading, output_of(("text",), jobs=True))
def command(source: Source, rows: Filter, asked: TransactionOptions, reading: Reading, output: Output) -> int:
    """List the transactions of each partition of the offsets topic: decided when and how, or open since when.

    PATH as for decode. --since and --until choose by the time of the first record, or of the marker without any.
    """
    from offdecode.cli.run import run_answer
    from offdecode.questions.transactions import transactions, transactions_by_log
    from offdecode.request import Request
    from offdecode.schemas.state_rows import TRANSACTION_ROW
    from offdecode.sinks.text.lines import ListingSink, TextSink
    from offdecode.sinks.text.state import TRANSACTION_LISTING, transaction_lines
    from offdecode.writing import Answer

    answer = Answer(
        (TRANSACTION_ROW,),
        partial(transactions, asked=asked),
        {
            "text": partial(TextSink, lines=transaction_lines),
            "table": partial(ListingSink, listing=TRANSACTION_LISTING),
        },
        partial(transactions_by_log, asked=asked),
    )
    return run_answer(answer, Request(source, rows, reading=reading), output)
