"""offdecode schema: the row reference, as text or JSON Schema."""

from __future__ import annotations

import click

from offdecode.cli.options import beginning


def _row_types(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    from offdecode.schemas.rows import all_row_type_names

    return beginning(begun, all_row_type_names())


@click.command("schema")
@click.argument("row_type", metavar="[TYPE]", required=False, shell_complete=_row_types)
@click.option("--json", "as_json", is_flag=True, help="As JSON Schema.")
def command(row_type: str | None, as_json: bool) -> None:
    """Print the row reference: all row types, or the columns of one.

    It is derived from the same tables that decode.
    """
    import orjson

    from offdecode.request import checked_row_type
    from offdecode.schemas.describe import describe, json_schema, overview
    from offdecode.schemas.rows import all_row_type_names

    names = None if row_type is None else [checked_row_type(row_type, all_row_type_names())]
    if as_json:
        text = orjson.dumps(json_schema(names), option=orjson.OPT_INDENT_2).decode("utf-8")
    else:
        text = overview() if names is None else describe(names[0])
    click.echo(text)
