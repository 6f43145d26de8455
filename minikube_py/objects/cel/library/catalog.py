"""Lists the libraries that expressions may use; a new one is a file here and a line in this table."""

from minikube_py.objects.cel.library import amounts, authorization, formats, lists, network, standard, strings
from minikube_py.objects.cel.operators import DECLARED
from minikube_py.objects.cel.overloads import Function, functions_of

LIBRARIES = {
    "operators": DECLARED,
    "standard": standard.OVERLOADS,
    "strings": strings.OVERLOADS,
    "lists": lists.OVERLOADS,
    "network": network.OVERLOADS,
    "amounts": amounts.OVERLOADS,
    "formats": formats.OVERLOADS,
    "authorization": authorization.OVERLOADS,
}

BASE: dict[str, Function] = functions_of(one for overloads in LIBRARIES.values() for one in overloads)
"""The functions of every expression."""
MUTATING: dict[str, Function] = {**BASE, **functions_of(formats.PATCH_OVERLOADS)}
"""And those of mutations beside them."""
