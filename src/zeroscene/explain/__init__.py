"""Why a picture was given a class: attributes with their strength and place, and whether the places mean anything."""
